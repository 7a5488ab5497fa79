"""Any pair table, whoever made it."""

from __future__ import annotations

from datamodules.base import LoaderConfig, PairDataModule, existing
from datamodules.renaming import check_columns
from registry import DATAMODULES
from semfid.errors import UserError
from semfid.io.pair_table import OPTIONAL, REQUIRED, PairTable, read_pairs


@DATAMODULES.register("pairs", summary="any pair table (CSV or Parquet)", source="pairs.py", shared=LoaderConfig)
class PairTableData(PairDataModule):
    """Pairs from a table of this project's schema.

    Args:
        table: path of the table.
        columns: for a table of another schema: this schema's column -> the table's (``{pair_id: image, ...}``). Give
            ``difference: c2c`` to train on a pseudo-label.
        invert: the label is a similarity; 1 - label is used.
        scale: the label is divided by it (DMOS: 100).
        clip: cut the label to [0, 1] (standardised scores leave it a little).
    """

    def __init__(
        self,
        table: str,
        columns: dict[str, str] | None = None,
        invert: bool = False,
        scale: float = 1.0,
        clip: bool = False,
        *,
        loader: LoaderConfig,
    ) -> None:
        super().__init__(loader)
        self.path, self.columns, self.invert, self.scale = table, columns, invert, scale
        self.clip = clip
        check_columns(columns or {}, (*REQUIRED, *OPTIONAL))
        if scale <= 0:
            raise UserError(f"data.scale is {scale:g}; it must be positive")

    def load_table(self) -> PairTable:
        table = read_pairs(existing(self.path, "data.table"), self.columns, self.scale, self.clip)
        if not self.invert:
            return table
        if "difference" not in table.frame.columns:
            raise UserError(f"data.invert: {table.name} has no difference to turn round")
        frame = table.frame.drop(
            columns=["yes_votes", "votes"], errors="ignore"
        )  # votes speak of `difference` as it was
        return table.with_frame(frame.assign(difference=1.0 - frame["difference"]))
