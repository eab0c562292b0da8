from collections.abc import Sequence

VERSION: str
COMPILER: str
STATUS_COUNT: int
DEFAULT_RULES_JSON: str

def evaluate(
    packed_rules: bytes, band: int, event: int, findings: Sequence[tuple[int, int, int, float]]
) -> tuple[int, int, list[int]]: ...  # (status, action, reasons), all vocabulary numbers
def default_rules() -> bytes: ...  # layout of safelight.policy.table.RulesTable.pack
def words() -> dict[str, list[str]]: ...
def builtin_files() -> list[tuple[str, str, int]]: ...  # (name, sha256 hex, size in bytes)
def status_message(status: int) -> str: ...
