"""Tables, sentences and plots of what was measured; no number in them is typed by hand."""

import pathlib
import re
import statistics

from . import plots
from .scenarios import GATEWAY, GIB, KIB, MIB, NGINX, PEERS, SCENARIOS

# The share of the machine from which on other processes disturb a run.
FOREIGN = 0.15
PROTOCOLS = {False: "HTTP/1.1", True: "HTTP/2"}


def size(count):
    """`16 MiB`."""
    for unit, bytes_in in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if count >= bytes_in:
            return f"{count // bytes_in} {unit}"
    return f"{count} B"


def number(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def table(head, rows):
    """Markdown; all columns but the first are numbers."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def per_gib(run):
    return run["cpu"] / (run["bytes"] / GIB)


def per_thousand(run):
    return run["cpu"] / run["requests"] * 1000


def cost(scenario, run):
    return per_gib(run) if scenario.unit == "GiB" else per_thousand(run)


def quiet(runs):
    """Without those that others disturbed, if any is left."""
    return [run for run in runs if run["foreign"] <= FOREIGN] or runs


def median(runs, figure):
    return statistics.median(figure(run) for run in quiet(runs))


def ratio(scenario, runs, peer, to=NGINX):
    """To another in the same repetition, as the machine may be twice as fast an hour later."""
    pairs = zip(runs[peer], runs[to], strict=True)
    return statistics.median(cost(scenario, one) / cost(scenario, other) for one, other in pairs)


def costs(scenario, runs):
    """Of each peer."""
    return [median(runs[peer], lambda run: cost(scenario, run)) for peer in PEERS]


def peaks(runs):
    """Of each peer, in MiB."""
    return [median(runs[peer], lambda run: run["peak_kib"]) / KIB for peer in PEERS]


def measured(results, memory=False):
    """Scenarios that were run, with their runs."""
    runs = results.get("runs", {})
    return [
        (scenario, runs[scenario.name])
        for scenario in SCENARIOS
        if scenario.name in runs and scenario.memory == memory
    ]


def by_unit(results):
    """The same, those whose cost is given for the same thing together."""
    titles = {"GiB": "CPU seconds per GiB", "1000": "CPU seconds per 1000 requests"}
    for unit, title in titles.items():
        if chosen := [
            (scenario, runs) for scenario, runs in measured(results) if scenario.unit == unit
        ]:
            yield title, chosen


def about(results):
    about = results["about"]
    everything = [
        run for runs in results.get("runs", {}).values() for peer in runs.values() for run in peer
    ]
    everything += [run for point in results.get("scale", []) for run in point["runs"]]
    disturbed = sum(run["foreign"] > FOREIGN for run in everything)
    lines = [
        f"Measured {about['date']} by `{about['command']}` on {about['processors']} × "
        f"{about['processor']},"
        f" {about['memory_gib']} GiB, {about['system']}, Linux {about['kernel']}: "
        f"{', '.join(about['versions'])}."
    ]
    if about["repetitions"] > 1:
        lines += [f"Medians of {about['repetitions']} repetitions."]
    if disturbed:
        lines += [
            f"Other processes took over {FOREIGN:.0%} of the machine during {disturbed} of "
            f"{len(everything)} runs."
        ]
    return " ".join(lines)


def by_instructions(results, scenario):
    """The gateway's instructions over nginx's; empty where they weren't counted."""
    counted = results.get("instructions", {}).get(scenario.name)
    return (
        f"{counted[GATEWAY]['instructions'] / counted[NGINX]['instructions']:.2f}"
        if counted
        else ""
    )


def short(results):
    rows = []
    for title, chosen in by_unit(results):
        rows.append([f"**{title}**", "", "", "", "", ""])
        for scenario, runs in chosen:
            each = map(number, costs(scenario, runs))
            rows.append(
                [
                    scenario.title,
                    *each,
                    f"{ratio(scenario, runs, GATEWAY):.2f}",
                    by_instructions(results, scenario),
                ]
            )
    rows += (
        [["**peak of resident memory, MiB**", "", "", "", "", ""]]
        if measured(results, memory=True)
        else []
    )
    for scenario, runs in measured(results, memory=True):
        each = peaks(runs)
        rows.append([scenario.title, *map(number, each), f"{each[0] / each[1]:.2f}", ""])
    return table(["", *PEERS, "gateway ÷ nginx", "by instructions"], rows)


def says(results):
    """What a reader in a hurry wants to know, from the same figures."""
    runs = results.get("runs", {})
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    lines = []

    def to_nginx(name):
        return f"{ratio(scenarios[name], runs[name], GATEWAY):.2f}"

    def within(name, other):
        pairs = zip(runs[name][GATEWAY], runs[other][GATEWAY], strict=True)
        return f"{statistics.median(per_gib(one) / per_gib(two) for one, two in pairs):.2f}"

    def peak(name):
        return number(median(runs[name][GATEWAY], lambda run: run["peak_kib"]) / KIB)

    if {"raw-64m", "form-64m", "sha256-64m", "tls-64m", "down-64m"} <= runs.keys():
        lines += [
            f"Moving a GiB through the gateway costs {to_nginx('raw-64m')} times what nginx takes "
            "to pass it on, over TLS to"
            f" storage {to_nginx('tls-64m')} times, and back down {to_nginx('down-64m')} times.",
            f"Finding a file in a form makes an upload {within('form-64m', 'raw-64m')} times as "
            "dear as a raw one,"
            f" a SHA-256 on request {within('sha256-64m', 'raw-64m')} times.",
        ]
    if {"raw-4k", "lookup"} <= runs.keys():
        lines += [
            f"A small upload costs {to_nginx('raw-4k')} times nginx's: it is two exchanges with "
            "eGain instead of one, a caller's"
            " key, a look at the bytes, a policy, and JSON. A lookup, which needs nothing of "
            f"eGain, costs {to_nginx('lookup')}"
            " times nginx's, which needs a request to it.",
        ]
    if {"slow-callers", "slow-storage"} <= runs.keys():
        lines += [
            f"With 64 uploads of slow callers in flight the gateway takes {peak('slow-callers')} "
            "MiB of memory in all,"
            f" with a slow storage {peak('slow-storage')} MiB."
        ]
    if results.get("latency"):
        lines += [
            f"One upload of 100 KiB takes {number(added(results))} ms longer than its two "
            "exchanges by themselves."
        ]
    points = [
        point
        for point in results.get("scale", [])
        if point["table"] == "at_once" and not point["http2"]
    ]
    if len(points) > 1:
        few, many = points[0]["at_once"], points[-1]["at_once"]
        first, last = point_figures(points[0]), point_figures(points[-1])
        each = (last["peak"] - first["peak"]) / (many - few) * KIB
        lines += [
            f"From {few} to {many} uploads at one time, a GiB goes from {number(first['gib'])} to "
            f"{number(last['gib'])} CPU"
            f" seconds, and each upload takes about {each:.0f} KiB of memory."
        ]
    return "\n".join(f"- {line}" for line in lines)


def everything(results):
    """All figures of all scenarios, one row for each peer."""
    rows = []
    for scenario, runs in measured(results):
        for peer in PEERS:
            rows.append([f"{scenario.title}: {peer}", *detail(results, scenario, runs, peer)])
    head = ["", "for each", "CPU-s", "least to most", "÷ nginx", "G instructions"]
    return table([*head, "GiB/s", "requests/s", "p50 ms", "p99 ms", "peak MiB"], rows)


def detail(results, scenario, runs, peer):
    found = [cost(scenario, run) for run in quiet(runs[peer])]
    counted = results.get("instructions", {}).get(scenario.name, {}).get(peer)
    per = (
        (counted["bytes"] / GIB if scenario.unit == "GiB" else counted["requests"] / 1000)
        if counted
        else 0
    )
    speed = median(runs[peer], lambda run: run["bytes"] / run["seconds"] / GIB)
    return [
        "GiB" if scenario.unit == "GiB" else "1000 requests",
        number(statistics.median(found)),
        f"{number(min(found))} to {number(max(found))}",
        f"{ratio(scenario, runs, peer):.2f}",
        number(counted["instructions"] / per / 1e9) if counted else "",
        number(speed) if scenario.size else "",
        number(median(runs[peer], lambda run: run["requests"] / run["seconds"])),
        number(median(runs[peer], lambda run: run["p50"])),
        number(median(runs[peer], lambda run: run["p99"])),
        number(median(runs[peer], lambda run: run["peak_kib"]) / KIB),
    ]


def added(results, index=0):
    """Milliseconds that the gateway adds; 0 is for p50, 1 for p99."""
    return statistics.median(
        each["gateway"][index] - each["straight"][index] for each in results["latency"]
    )


def rest(results):
    rows = []
    if runs := results.get("latency"):
        for index, name in enumerate(("p50", "p99")):
            through, straight = (
                statistics.median(each[way][index] for each in runs)
                for way in ("gateway", "straight")
            )
            rows.append([f"upload of 100 KiB, one at a time, {name}", f"{through:.3f} ms"])
            rows.append(
                [f"its two exchanges made directly, {name} of each added up", f"{straight:.3f} ms"]
            )
            rows.append([f"added by the gateway, {name}", f"{added(results, index):.3f} ms"])
    if "start" in results:
        rows.append(
            [
                "from its start until `/readyz` returns 200",
                f"{statistics.median(results['start']):.1f} ms",
            ]
        )
    if "binary" in results:
        rows.append(["the program, stripped", f"{results['binary'] / MIB:.1f} MiB"])
    return table(["", ""], rows)


def where(results):
    """Percent of the gateway's instructions, by what was being done."""
    found = results.get("profile")
    if not found:
        return ""
    titles = {scenario.name: scenario.title for scenario in SCENARIOS}
    doings = next(iter(found.values()))
    rows = [[doing, *(f"{shares[doing]:.0f} %" for shares in found.values())] for doing in doings]
    return table(["", *(titles[name] for name in found)], rows)


def stalled(results):
    """When it was measured is told again, as it may be measured by itself."""
    runs = results.get("stalled")
    if not runs:
        return ""
    rows = []
    for index, name in enumerate(("p50", "p99")):
        alone, beside = (
            statistics.median(each[way][index] for each in runs) for way in ("alone", "beside")
        )
        ratio = statistics.median(each["beside"][index] / each["alone"][index] for each in runs)
        rows.append([name, f"{alone:.3f}", f"{beside:.3f}", f"{ratio:.2f}"])
    head = [
        "upload of 4 KiB, one at a time",
        "alone, ms",
        f"beside {runs[0]['stalled']} stalled, ms",
        "ratio",
    ]
    about = results["about"]
    when = (
        f"Measured {about['date']} by `{about['command']}`, {about['versions'][0]}: medians of "
        f"{len(runs)} processes."
    )
    return f"{table(head, rows)}\n\n{when}"


def point_figures(point):
    runs = point["runs"]
    return {
        "gib": median(runs, per_gib),
        "request": median(runs, per_thousand),
        "peak": median(runs, lambda run: run["peak_kib"]) / KIB,
        "speed": median(runs, lambda run: run["bytes"] / run["seconds"] / GIB),
    }


def lines_of(results, name):
    """A scaling table's points by protocol, each with its figures: `{False: [(point, figures)],
    True: …}`."""
    points = [point for point in results.get("scale", []) if point["table"] == name]
    return {
        http2: [(point, point_figures(point)) for point in points if point["http2"] == http2]
        for http2 in PROTOCOLS
    }


def scaling(results):
    """Three tables; HTTP/2 beside HTTP/1.1 where there is both."""
    if not results.get("scale"):
        return ""
    parts = []
    for name, title, label in (
        ("at_once", "Uploads of 1 MiB at one time", lambda point: str(point["at_once"])),
        ("size", "Size of files, 4 at one time", lambda point: size(point["size"])),
    ):
        one, two = lines_of(results, name).values()
        rows = []
        for (point, plain), (_, streams) in zip(one, two, strict=True):
            keys = ("gib", "request", "speed", "peak")
            rows.append(
                [label(point)] + [number(each[key]) for key in keys for each in (plain, streams)]
            )
        units = ("CPU-s/GiB", "CPU-s/1000", "GiB/s", "peak MiB")
        parts.append(
            table(
                [title, *(f"{unit}, {protocol}" for unit in units for protocol in ("1.1", "2"))],
                rows,
            )
        )
    rows = [
        [size(point["piece"]), *(number(figures[key]) for key in ("gib", "speed", "peak"))]
        for point, figures in lines_of(results, "piece")[False]
    ]
    parts.append(
        table(["What a caller writes at once, 16 MiB × 4", "CPU-s/GiB", "GiB/s", "peak MiB"], rows)
    )
    return "\n\n".join(parts)


SECTIONS = {
    "about": about,
    "short": short,
    "says": says,
    "where": where,
    "rest": rest,
    "stalled": stalled,
    "scale": scaling,
    "all": everything,
}


def text(results):
    """All of it, for a terminal; only what was measured."""
    shown = [about(results)]
    if results.get("runs"):
        shown += [short(results), everything(results)]
    if {"latency", "start"} & results.keys():
        shown.append(rest(results))
    shown += [where(results), stalled(results), scaling(results), says(results)]
    return "\n\n".join(part for part in shown if part)


def cost_plot(results):
    groups = []
    for title, chosen in by_unit(results):
        groups.append(
            (title, [(scenario.title, costs(scenario, runs)) for scenario, runs in chosen])
        )
    memory = [(scenario.title, peaks(runs)) for scenario, runs in measured(results, memory=True)]
    groups.append(("Peak of resident memory, MiB", memory))
    return plots.bars(
        "Cost beside nginx and HAProxy, which only pass requests on", PEERS, groups, number
    )


def scale_plot(results):
    panels = []
    for name, across, label in (
        ("at_once", "uploads of 1 MiB at one time", lambda point: str(point["at_once"])),
        ("size", "size of the file, 4 uploads at one time", lambda point: size(point["size"])),
    ):
        lines = lines_of(results, name)
        ticks = [label(point) for point, _ in lines[False]]
        for key, title in (
            ("gib", "CPU seconds per GiB"),
            ("peak", "Peak of resident memory, MiB"),
        ):
            series = {
                PROTOCOLS[http2]: [figures[key] for _, figures in points]
                for http2, points in lines.items()
            }
            panels.append((title, across, ticks, series))
    return plots.lines("How the gateway's cost and memory grow", panels, number)


def write(results, folder):
    """Puts the tables between their markers in performance.md, and the plots beside it."""
    document = pathlib.Path(folder, "performance.md")
    if results.keys() == {"about", "stalled"}:
        return put(document, results, {"stalled": stalled})
    if missing := {"runs", "latency", "start", "scale"} - results.keys():
        raise OSError(
            f"not everything was measured, so nothing is written: {', '.join(sorted(missing))}"
        )
    # What was measured by itself stays.
    put(
        document,
        results,
        {
            name: section
            for name, section in SECTIONS.items()
            if name != "stalled" or name in results
        },
    )
    pathlib.Path(folder, "performance-cost.svg").write_text(cost_plot(results))
    pathlib.Path(folder, "performance-scale.svg").write_text(scale_plot(results))


def put(document, results, sections):
    content = document.read_text()
    for name, section in sections.items():
        marked = re.compile(f"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        content, count = marked.subn(
            lambda match: f"{match[1]}\n{section(results)}\n\n{match[2]}", content
        )
        if count != 1:
            raise OSError(f"{document} has {count} places for {name}")
    document.write_text(content)
