#!/usr/bin/env python3
"""Edits a clip in every mode of `weft stylize` and measures how steady and how fast each is.

    compare_modes.py --weft PROGRAM CLIP... [-p PROMPT]... [--modes NAME,...] [--work FOLDER] [-- OPTION...]

A row is a mode: `independent` is each frame on its own with its own noise, as most tools edit video; `frames` the
same with one noise for all; the others are weft's modes of that name. Prints a Markdown table with the means over
prompts and, with several clips, a table each: warp error and drift as multiples of the source's own (`weft
measure`), edit strength on the scale of 8 bits and against `independent`, CPU seconds a frame on one thread
(decoding, analysis, model loading and encoding among them). Options after `--` go
to every `weft stylize`. The clips that were made stay in FOLDER for looking at.
"""
import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

MODES = {
    "independent": ["--mode", "frames", "--noise", "independent"],
    "frames": ["--mode", "frames", "--noise", "fixed"],
    "full": ["--mode", "full"],
    "tokens": ["--mode", "tokens"],
    "propagate": ["--mode", "propagate"],
}
PROMPTS = ["watercolor painting", "pencil sketch", "winter snow"]


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def edit(weft, clip, prompt, mode, out, extra):
    """CPU seconds of the whole run, on one thread: these do not depend on what else the machine does."""
    command = [weft, "stylize", str(clip), "-p", prompt, "-o", str(out), "-y", "-q", "--restart",
               "--threads", "1", *MODES[mode], *extra]
    start = cpu_seconds()
    subprocess.run(command, check=True)
    return cpu_seconds() - start


def measured(weft, clip, edits):
    report = subprocess.run([weft, "measure", str(clip), *map(str, edits), "--json"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return json.loads(report)["clips"][1:]


def rows_of(clip, options):
    """{mode: [(seconds, figures) of each prompt]}"""
    rows = {mode: [] for mode in options.modes}
    for prompt in options.prompt:
        edits, spent = [], []
        for mode in options.modes:
            edits.append(options.work / f"{clip.stem}-{prompt.replace(' ', '-')}-{mode}.mp4")
            spent.append(edit(options.weft, clip, prompt, mode, edits[-1], options.extra))
            print(f"{clip.name} '{prompt}' {mode}: {spent[-1]:.1f} s", file=sys.stderr)
        for mode, seconds, figures in zip(options.modes, spent, measured(options.weft, clip, edits)):
            rows[mode].append((seconds, figures))
    return rows


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def print_table(clip, rows):
    frames = next(iter(rows.values()))[0][1]["integrity"]["frames"]
    print(f"\n`{clip.name}`, {frames} frames\n")
    print("| mode | warp error | worst prompt | drift | edit strength | against independent | CPU s a frame |")
    print("|---|---|---|---|---|---|---|")
    strength = {mode: [figures["summary"]["strength"] for _, figures in runs] for mode, runs in rows.items()}
    for mode, runs in rows.items():
        sums = [figures["summary"] for _, figures in runs]
        against = "-"
        if "independent" in strength:
            against = "%.2f" % mean(a / b for a, b in zip(strength[mode], strength["independent"]))
        print("| %s | %.2f | %.2f | %.2f | %.1f | %s | %.2f |" % (
            mode, mean(s["warp_ratio"] for s in sums), max(s["warp_ratio"] for s in sums),
            mean(s["drift_ratio"] for s in sums), 255 * mean(strength[mode]), against,
            mean(seconds for seconds, _ in runs) / frames))


def main():
    own, extra = sys.argv[1:], []
    if "--" in own:
        place = own.index("--")
        own, extra = own[:place], own[place + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weft", required=True)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("-p", "--prompt", action="append")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=list(MODES))
    parser.add_argument("--work", type=Path, default=Path("out/modes"))
    options = parser.parse_args(own)
    options.extra = extra
    options.prompt = options.prompt or PROMPTS
    unknown = [mode for mode in options.modes if mode not in MODES]
    if unknown:
        parser.error(f"unknown modes {', '.join(unknown)}; known: {', '.join(MODES)}")
    options.work.mkdir(parents=True, exist_ok=True)
    for clip in options.clips:
        print_table(clip, rows_of(clip, options))


if __name__ == "__main__":
    main()
