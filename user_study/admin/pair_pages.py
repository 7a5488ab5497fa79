"""Pairs, one pair, traps; and taking a pair out of use."""

from __future__ import annotations

from starlette.responses import Response

from user_study.admin.deps import AdminRequest, asked, change, done, linker, own_address, see
from user_study.analysis import pair_list, trap_list
from user_study.trial import pairs
from user_study.web.errors import Problem


def show_pairs(request: AdminRequest) -> Response:
    """GET /admin/pairs."""
    wanted = asked(pair_list.Filter, request.http.query_params)
    with request.database.read() as c:
        return request.show(
            c,
            "pairs.html",
            "/admin/pairs",
            "Pairs",
            wanted=wanted,
            listing=pair_list.list_pairs(c, wanted),
            origins=[("", "all"), *((name, name) for name in sorted(pair_list.origins(c)))],
            states=pair_list.STATES,
            flags=pair_list.FLAGS,
            link=linker("/admin/pairs", vars(wanted), vars(pair_list.Filter())),
        )


def show_pair(request: AdminRequest) -> Response:
    """GET /admin/pairs/<id>."""
    with request.database.read() as c:
        found = pair_list.view(c, request.http.path_params["id"])
        if found is None:
            raise Problem(404, "not_found", "There is no such pair; go back to the list of pairs.")
        section = "/admin/pairs" if found.kind == "main" else "/admin/traps"
        return request.show(c, "pair.html", section, found.row.key, view=found)


def show_traps(request: AdminRequest) -> Response:
    """GET /admin/traps."""
    with request.database.read() as c:
        traps, training = trap_list.list_traps(c, "trap"), trap_list.list_traps(c, "training")
        return request.show(c, "traps.html", "/admin/traps", "Traps and practice", traps=traps, training=training)


def _set_active(request: AdminRequest, active: bool) -> Response:
    number = request.http.path_params["id"]
    reason = "" if active else request.required("reason")
    request.database.transact(lambda c: pairs.set_active(c, number, active, reason, request.admin, request.now))
    back = own_address(request.text("next"), f"/admin/pairs/{number}")
    return done(back, "returned" if active else "retired")


def retire(request: AdminRequest) -> Response:
    """POST /admin/pairs/<id>/retire, with a reason."""
    return _set_active(request, False)


def bring_back(request: AdminRequest) -> Response:
    """POST /admin/pairs/<id>/return."""
    return _set_active(request, True)


ROUTES = [
    see("/admin/pairs", show_pairs),
    see("/admin/pairs/{id:int}", show_pair),
    change("/admin/pairs/{id:int}/retire", retire),
    change("/admin/pairs/{id:int}/return", bring_back),
    see("/admin/traps", show_traps),
]
