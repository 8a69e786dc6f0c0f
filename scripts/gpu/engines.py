#!/usr/bin/env python3
"""When vLLM servers pay: prints the table of docs/engines.md. Only the standard library.

A step needs its tokens sampled and its batch learnt. With a staleness of 1 both go on at the same time, so a step takes the
longer of the two. All GPUs are paid for all the time.

Assumptions:
- one kind of GPU, NVIDIA H200, at EURO_PER_HOUR each; Qwen2.5-VL-3B; half of each group of 10 is sampled, half edited;
- the built-in sampler draws as many tokens per second and GPU as docs/gpu.md measured, by the reports in flight, and
  shares them out evenly over its GPUs; between the measured numbers the rate is interpolated on logarithms;
- a vLLM server of one GPU draws what scripts/gpu/paper.py predicts for it (docs/gpu.md, "H200 vLLM tokens/s"), which is no
  measurement, and loses RELOAD seconds per step to a new adapter;
- the learner takes LEARN seconds for LEARNT tokens, prompts once per group, as docs/gpu.md measured, in proportion to the
  tokens, and is divided over its GPUs at EFFICIENCY, which is a guess: one GPU is all that was ever measured;
- the host of the learner has EIGHT GPUs: learner and built-in samplers share them.
"""

import argparse
import math

BUILT_IN = {5: 1_325, 40: 9_519, 80: 16_920, 320: 38_484}
VLLM = {5: 1_665, 40: 11_396, 80: 19_566, 320: 36_332}
RELOAD, LEARN, LEARNT, EFFICIENCY, EURO_PER_HOUR, EIGHT = 0.6, 1.0, 8 * (1_126 + 10 * 128), 0.9, 3.0, 8
PROMPT, GROUP, SAMPLED = 1_126, 10, 5


def rate(table, reports):
    """Tokens per second with so many reports in flight; beyond the table the last rate."""
    points = sorted(table)
    reports = min(max(reports, points[0]), points[-1])
    above = next(point for point in points if point >= reports)
    below = max(point for point in points if point <= reports)
    if above == below:
        return table[above]
    share = math.log(reports / below) / math.log(above / below)
    return table[below] * (table[above] / table[below]) ** share


def step(groups, tokens, learners, samplers, table, reload):
    """Seconds of a step, and those of sampling and of learning in it."""
    reports = groups * SAMPLED
    sampling = reports * tokens / (samplers * rate(table, reports / samplers)) + reload
    learning = LEARN / LEARNT * groups * (PROMPT + GROUP * tokens)
    learning /= 1 if learners == 1 else learners * EFFICIENCY
    return max(sampling, learning), sampling, learning


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    print("| a step | GPUs that learn | that sample | step s | sampling s | learning s | tokens/s | million tokens per euro |")
    print("|:--|--:|:--|--:|--:|--:|--:|--:|")
    for groups, tokens in [(8, 128), (64, 128), (64, 1024)]:
        choices = []
        for samplers in (1, 2):
            choices.append((EIGHT - samplers, samplers, BUILT_IN, 0.0, f"built-in, {samplers} of the {EIGHT}"))
        for servers in (1, 2, 4):
            choices.append((EIGHT, servers, VLLM, RELOAD, f"vLLM, {servers} more"))
        for learners, samplers, table, reload, name in choices:
            seconds, sampling, learning = step(groups, tokens, learners, samplers, table, reload)
            drawn, euros = groups * SAMPLED * tokens, (learners + samplers) * EURO_PER_HOUR * seconds / 3600
            print(
                f"| {groups} × {GROUP} × {tokens} | {learners} | {name} | {seconds:.2f} | {sampling:.2f} "
                f"| {learning:.2f} | {drawn / seconds:,.0f} | {drawn / euros / 1e6:.1f} |"
            )


if __name__ == "__main__":
    main()
