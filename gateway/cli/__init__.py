# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: standard output is data, standard error is talk; 0 done, 1 failed, 2 wrong use or configuration."""
