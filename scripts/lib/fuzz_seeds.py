#!/usr/bin/env python3
"""Picks seeds by the control file of a libFuzzer merge: fuzz_seeds.py CONTROL MOST.

Each time the file that reaches most of what is not reached yet, the smaller one of two; at most MOST of them. Prints
their paths on stdout, and on stderr how much of everything they reach.
"""

import sys


def read(path):
    """The paths and sizes of the inputs, and the features that each reaches."""
    with open(path, encoding="utf-8") as control:
        lines = control.read().splitlines()
    count = int(lines[0])
    paths, sizes, features = lines[2 : 2 + count], {}, {}
    for line in lines[2 + count :]:
        words = line.split()
        if words[0] == "STARTED":
            sizes[int(words[1])] = int(words[2])
        elif words[0] == "FT":
            features[int(words[1])] = set(map(int, words[2:]))
    return paths, sizes, features


def pick(sizes, features, most):
    """The numbers of the inputs, best first, and what they leave out."""
    left = set().union(*features.values())
    picked = []
    while left and len(picked) < most:
        best = max(features, key=lambda n: (len(features[n] & left), -sizes[n], -n))
        picked.append(best)
        left -= features[best]
    return picked, left


def main():
    paths, sizes, features = read(sys.argv[1])
    picked, left = pick(sizes, features, int(sys.argv[2]))
    for number in picked:
        print(paths[number])
    total = len(set().union(*features.values()))
    print(f"{len(picked)} of {len(paths)} files reach {total - len(left)} of {total} edges", file=sys.stderr)


if __name__ == "__main__":
    main()
