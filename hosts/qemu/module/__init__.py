# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/qemu-module does, one file per step: the QEMU at hand, the headers that it was built
with, the module, what has to agree between the two, and its installation."""
