"""Pairs, one pair, traps; and taking a pair out of use."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from user_study.admin.deps import AdminRequest, change, done, linker, own_address, see, whole
from user_study.analysis import pair_list, trap_list
from user_study.trial import pairs
from user_study.web.errors import Problem

DEFAULTS: dict[str, Any] = {
    "origin": "",
    "state": "all",
    "flag": "any",
    "search": "",
    "order": "key",
    "down": False,
    "page": 1,
}


def show_pairs(request: AdminRequest) -> Response:
    """GET /admin/pairs."""
    query = request.http.query_params
    wanted = pair_list.Filter(
        origin=query.get("origin", "")[:200],
        state=query.get("state", "all"),
        flag=query.get("flag", "any"),
        search=query.get("search", "").strip()[:200],
        order=query.get("order", "key"),
        down=query.get("down") == "1",
        page=whole(query.get("page", "1"), 1),
    )
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
            link=linker("/admin/pairs", vars(wanted), DEFAULTS),
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
