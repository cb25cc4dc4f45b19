"""A small Azure on loopback that Azure's own clients talk to, and that really runs the jobs.

Started only by whoever asks for it: `python -m mlops_spec.emulator --state DIR`. Nothing imports
it. See docs/emulator.md.
"""
