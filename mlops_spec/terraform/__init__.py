"""Terraform as a program: asked what it would change, and told to apply just that.

checks       what `check` looks at
comparison   what the infrastructure lacks, as a saved plan; what was shown is what is applied
binary       the program: its version, its processes, what they say
refusals     its errors in words a person can act on
"""
