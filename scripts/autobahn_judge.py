"""Writes the specification of an Autobahn run, and judges its report.

    autobahn_judge.py spec HOST:PORT CASES REPORT_FOLDER       prints the specification
    autobahn_judge.py judge index.json [EXPECTED_NUMBER]       prints one line; exit code 1 unless all passed

Both columns of the report count: `behavior` (what came back) and `behaviorClose` (how the connection ended).
"""

import json
import sys
from collections import Counter

GOOD = {"OK", "INFORMATIONAL"}
# The suite's result for a server that refuses bad UTF-8 later than possible.
TOLERATED = "NON-STRICT"
TOLERATED_CASES = 2


def spec(address, cases, folder):
    server = {"agent": "plaza", "url": f"ws://{address}", "options": {"version": 18}}
    print(json.dumps({
        "options": {"failByDrop": False},
        "outdir": folder,
        "servers": [server],
        "cases": cases.split(","),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }, indent=2))


def judge(index, expected=None):
    with open(index, encoding="utf-8") as report:
        # The suite tested one server, and omits it if it could not connect.
        results = next(iter(json.load(report).values()), {})
    counts = Counter()
    bad = []
    for case, result in sorted(results.items()):
        verdicts = {result["behavior"], result["behaviorClose"]}
        if verdicts <= GOOD:
            counts[result["behavior"]] += 1
        elif verdicts <= GOOD | {TOLERATED}:
            counts[TOLERATED] += 1
        else:
            counts["FAILED"] += 1
            bad.append(f"{case}: {result['behavior']}, close {result['behaviorClose']}")
    complete = expected is None or len(results) == int(expected)
    passed = complete and results and not bad and counts[TOLERATED] <= TOLERATED_CASES
    for line in bad:
        print(f"autobahn: {line}", file=sys.stderr)
    total = f"{len(results)} of {expected}" if expected else f"{len(results)}"
    summary = ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items(), key=lambda c: -c[1]))
    print(f"autobahn: {'PASSED' if passed else 'FAILED'}, {total} cases run: {summary}")
    return 0 if passed else 1


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    sys.exit({"spec": spec, "judge": judge}[command](*arguments))
