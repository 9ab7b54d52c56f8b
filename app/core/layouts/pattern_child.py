"""The process that matches a stranger's pattern, started by `groups`. It imports nothing of ours, and starts at once.

Its arguments are the seconds and the bytes that it may use; it reads {pattern, paths} and writes what was found.
"""

import json
import re
import resource
import sys


def main() -> None:
    cpu_s, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    pattern = re.compile(request["pattern"])
    number = min(pattern.groups, 1)
    found = (pattern.search(path) for path in request["paths"])
    json.dump([None if match is None else match[number] for match in found], sys.stdout)


if __name__ == "__main__":
    main()
