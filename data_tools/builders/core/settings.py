"""Types that the settings of builders share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, model_validator

from semfid.settings import Settings

Number = int | float  # as it is written: hashes of builds tell 1 from 1.0


def _table(name: str) -> str:
    if not name.endswith((".csv", ".parquet")):
        raise ValueError("must end in .csv or .parquet")
    if "/" in name:
        raise ValueError("must be a file name; it is written into `out`")
    return name


def _ordered(pair: tuple[Number, Number]) -> tuple[Number, Number]:
    if not 0 <= pair[0] <= pair[1] <= 1:
        raise ValueError("must be two numbers in 0 .. 1, the smaller one first, such as [0.1, 0.6]")
    return pair


TableName = Annotated[str, AfterValidator(_table)]
Range = Annotated[tuple[Number, Number], AfterValidator(_ordered)]


class Split(Settings):
    """Shares of the photos; both 0: the table has no column split."""

    val: float = 0.1
    test: float = 0.1
    seed: int = 0

    @model_validator(mode="after")
    def _something_for_training(self) -> Split:
        check_shares(self.val, self.test)
        return self


def check_shares(val: float, test: float) -> None:
    """Raise a ValueError unless something is left for training."""
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise ValueError(f"val={val:g} and test={test:g} must leave something for training")
