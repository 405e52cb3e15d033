# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/bench is made of: rows, contestants, how they are built and run, what is printed."""
