"""The use cases that join the rooms: ``judge`` (light: score, judge, render) and ``run`` (heavy: train, unlearn, audit)."""
