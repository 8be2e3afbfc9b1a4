"""The settings of the run that the fixture `two_scenarios` makes."""

TWO = {"plain": {}, "strong": {"attack": {"boost": 5}}}
SHORT = {"fine_tuning": {"iterations": [0, 1]}, "matching": {"iterations": [0, 1], "warm_up": 1}}
FIGURES = [3, 7, "scenarios"]
MINE = ("--configfile", "mine.yaml")
