"""A command handler: any executable. The payload comes on its standard input, reports go out on descriptor 3.

It counts the lines and words of the pages that begin with some letters, and packs them into .gz files.
"""

import gzip
import json
import os
import sys
from pathlib import Path

PAGES = Path(__file__).parent / "pages"


def main() -> None:
    letters = json.load(sys.stdin)["letters"]
    pages = sorted(page for page in PAGES.glob("*.html") if page.name[0].lower() in letters)
    total = {"pages": len(pages), "lines": 0, "words": 0, "bytes": 0, "packed_bytes": 0}
    with os.fdopen(3, "w") as reports:
        for place, page in enumerate(pages):
            text = page.read_bytes()
            packed = gzip.compress(text, 6)
            page.with_suffix(".html.gz").write_bytes(packed)
            total["lines"] += text.count(b"\n")
            total["words"] += len(text.split())
            total["bytes"] += len(text)
            total["packed_bytes"] += len(packed)
            print(json.dumps({"progress": 100 * place / len(pages), "message": page.name}), file=reports, flush=True)
        print(json.dumps({"result": total}), file=reports)
    sys.stdout.write(f"{len(pages)} pages, {total['words']} words\n")


if __name__ == "__main__":
    main()
