#!/usr/bin/env python3
"""A command's terminal, recorded, and drawn as an animated SVG. Needs nothing but Python.

    scripts/recording.py record run.cast -- target/release/addendum train --config configs/phantoms.toml
    scripts/recording.py draw run.cast docs/recording.svg

A recording is in asciicast's format (version 2), so that its players show it, too. The drawing shows the times at
which the screen changed, sped up to --seconds; whoever prefers reduced motion sees its last screen.
"""

import argparse
import fcntl
import html
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

COLUMNS, ROWS = 128, 30
PALETTE = ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"]
INK, DIM, GROUND = "#e6edf3", "#8b949e", "#0d1117"
CELL_WIDTH, LINE_HEIGHT, FONT_SIZE, MARGIN = 7.2, 17, 12, 12
# A drawing's size goes with its screens; those between are left out.
MOST_SCREENS = 40
HOLD_SECONDS = 8


def record(path, command):
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    start = time.monotonic()
    with open(path, "w", encoding="utf-8") as cast:
        typed = " ".join([os.path.basename(command[0]), *command[1:]])
        cast.write(json.dumps({"version": 2, "width": COLUMNS, "height": ROWS, "title": typed}) + "\n")
        held = b""
        while True:
            select.select([terminal], [], [])
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            if not data:
                break
            held += data
            text = held.decode("utf-8", errors="ignore")
            # A character may be cut at the end of what was read.
            held = held[len(text.encode("utf-8")):]
            cast.write(json.dumps([round(time.monotonic() - start, 3), "o", text], ensure_ascii=False) + "\n")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


class Screen:
    """What programs that redraw a few lines ask of a terminal: cells with a colour, a cursor, erasing, scrolling."""

    ESCAPES = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b[=>]|(\r)|(\n)|([^\x1b])", re.S)

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[] for _ in range(rows)]
        self.row = self.column = 0
        self.style = (None, False)

    def write(self, text):
        for match in self.ESCAPES.finditer(text):
            numbers, letter, carriage, line, character = match.groups()
            if letter:
                self.control(numbers, letter)
            elif carriage:
                self.column = 0
            elif line:
                self.feed()
            elif character and character >= " ":
                self.put(character)

    def feed(self):
        if self.row + 1 < self.rows:
            self.row += 1
        else:
            self.cells = self.cells[1:] + [[]]

    def put(self, character):
        if self.column >= self.columns:
            self.column = 0
            self.feed()
        cells = self.cells[self.row]
        cells.extend([(" ", (None, False))] * (self.column + 1 - len(cells)))
        cells[self.column] = (character, self.style)
        self.column += 1

    def control(self, numbers, letter):
        given = [int(number) for number in numbers.split(";") if number.isdigit()]
        count = (given or [1])[0] or 1
        if letter == "A":
            self.row = max(0, self.row - count)
        elif letter == "B":
            self.row = min(self.rows - 1, self.row + count)
        elif letter == "C":
            self.column += count
        elif letter == "D":
            self.column = max(0, self.column - count)
        elif letter == "G":
            self.column = count - 1
        elif letter == "K":
            all_of_it = given[:1] == [2]
            self.cells[self.row] = [] if all_of_it else self.cells[self.row][: self.column]
        elif letter == "J":
            self.cells[self.row] = self.cells[self.row][: self.column]
            for row in range(self.row + 1, self.rows):
                self.cells[row] = []
        elif letter == "m":
            self.paint(given or [0])

    def paint(self, codes):
        colour, bold = self.style
        codes = iter(codes)
        for code in codes:
            if code == 0:
                colour, bold = None, False
            elif code in (1, 2, 22):
                colour, bold = (DIM if code == 2 else colour), code == 1
            elif 30 <= code < 38:
                colour = PALETTE[code - 30]
            elif 90 <= code < 98:
                colour = PALETTE[code - 90]
            elif code == 39:
                colour = None
            elif code == 38 and next(codes, None) == 5:
                colour = PALETTE[next(codes, 7) % 8]
        self.style = (colour, bold)

    def lines(self):
        """Each line as runs of one style: (column, text, style)."""
        return tuple(tuple(runs(cells)) for cells in self.cells)


def runs(cells):
    start = 0
    while start < len(cells):
        style = cells[start][1]
        end = start
        while end < len(cells) and cells[end][1] == style:
            end += 1
        text = "".join(character for character, _ in cells[start:end])
        if text.strip():
            yield start, text.rstrip(), style
        start = end


def screens(cast):
    """The screens of a recording, each with the second from which it is shown; of several in a row few enough stay."""
    head = json.loads(cast.readline())
    screen = Screen(head["width"], head["height"])
    screen.write(f"$ {head['title']}\r\n")
    shown = [(0.0, screen.lines())]
    for event in cast:
        at, _, text = json.loads(event)
        screen.write(text)
        shown.append((at, screen.lines()))
    length = shown[-1][0]
    kept = []
    for index, (at, lines) in enumerate(shown):
        # What is shown at the end of each interval; a screen that is half redrawn lasts no time.
        following = shown[index + 1][0] if index + 1 < len(shown) else float("inf")
        if int(at * MOST_SCREENS / length) != int(min(following, 2 * length) * MOST_SCREENS / length):
            if not kept or kept[-1][1] != lines:
                kept.append((at, lines))
    return head, kept


def draw(cast, seconds):
    head, kept = screens(cast)
    last = kept[-1][0]
    total = seconds + HOLD_SECONDS
    rows = max(index + 1 for _, lines in kept for index, line in enumerate(lines) if line)
    width = round(head["width"] * CELL_WIDTH + 2 * MARGIN)
    height = rows * LINE_HEIGHT + 2 * MARGIN
    names, definitions = {}, []

    def name(line):
        if line not in names:
            names[line] = f"l{len(names)}"
            spans = "".join(span(*run) for run in line)
            definitions.append(f'<text id="{names[line]}" xml:space="preserve">{spans}</text>')
        return names[line]

    frames, times = [], []
    for number, (at, lines) in enumerate(kept):
        begin = at / last * seconds / total * 100
        end = kept[number + 1][0] / last * seconds / total * 100 if number + 1 < len(kept) else 100
        uses = "".join(
            f'<use href="#{name(line)}" y="{MARGIN + row * LINE_HEIGHT + FONT_SIZE}"/>'
            for row, line in enumerate(lines)
            if line
        )
        frames.append(f'<g id="f{number}">{uses}</g>')
        before = "" if number == 0 else f"0%,{begin - 0.001:.3f}%{{visibility:hidden}}"
        after = "" if end == 100 else f"{end:.3f}%,100%{{visibility:hidden}}"
        times.append(f"@keyframes k{number}{{{before}{begin:.3f}%{',100%' if end == 100 else ''}{{visibility:visible}}{after}}}")
        times.append(f"#f{number}{{visibility:hidden;animation:k{number} {total}s step-end infinite}}")
    title = html.escape(head["title"])
    style = (
        f"text{{font:{FONT_SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:{INK}}}"
        + "".join(times)
        + "@media (prefers-reduced-motion:reduce){g[id]{animation:none!important}"
        + f"#f{len(kept) - 1}{{visibility:visible!important}}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="title">\n<title id="title">A terminal in which this runs: {title}</title>\n'
        f"<style>{style}</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="{GROUND}"/>\n'
        f"<defs>{''.join(definitions)}</defs>\n" + "\n".join(frames) + "\n</svg>\n"
    )


def span(column, text, style):
    colour, bold = style
    looks = (f' fill="{colour}"' if colour else "") + (' font-weight="700"' if bold else "")
    if not text.isascii():
        # Signs that a font lacks come from another one, with another width.
        looks += f' textLength="{len(text) * CELL_WIDTH:.0f}" lengthAdjust="spacingAndGlyphs"'
    return f'<tspan x="{MARGIN + column * CELL_WIDTH:.0f}"{looks}>{html.escape(text, quote=False)}</tspan>'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="run a command in a terminal and keep what it shows")
    recording.add_argument("cast")
    recording.add_argument("run", nargs="+")
    drawing = commands.add_parser("draw", help="draw a recording as an SVG")
    drawing.add_argument("cast")
    drawing.add_argument("svg")
    drawing.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    if args.command == "record":
        record(args.cast, args.run)
    with open(args.cast, encoding="utf-8") as cast:
        drawn = draw(cast, args.seconds)
    with open(args.svg, "w", encoding="utf-8") as svg:
        svg.write(drawn)
    print(f"{args.svg}: {len(drawn.encode())} bytes")


if __name__ == "__main__":
    main()
