"""Sessions whose data has got another type: what was exported, line by line, as it is to be now."""

import json
import sys
from collections.abc import Iterable, Iterator


# begin change
def changed(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        said = json.loads(line)
        data = said["body"].get("data") if said["line"] == "session" else None
        if data is not None:  # was price: float
            data["cents"] = round(data.pop("price") * 100)
        yield json.dumps(said).encode() + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.writelines(changed(sys.stdin.buffer))
# end change
