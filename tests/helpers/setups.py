"""Setups of runs, from configs with the table of the paper's defences and figures below them; and figures of them."""

import copy
from functools import cache

import yaml

from fedmeta import plugins
from fedmeta.reporting.setup import About, Setup
from fedmeta.settings import lay, part, with_table
from fedmeta.settings.layers import expanded
from helpers.project import ROOT

SECTIONS = ("data", "federation", "model", "reptile", "pretrain", "attack", "meta_train_after", "evaluation")


@cache
def default_config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def settings(*overlays):
    """Return config.yaml with these files of config/ laid over it."""
    config = copy.deepcopy(default_config())
    for overlay in overlays:
        config = lay(config, yaml.safe_load((ROOT / "config" / overlay).read_text()))
    return config


def entries(config):
    """Return the table of defences of a config, written out."""
    return expanded(with_table(config)["defences"])


def setup_of(config):
    """Return the setup of a run with this config, for all defences."""
    sections = part({name: config[name] for name in SECTIONS if name in config})
    return Setup(sections, {name: plugins.options("defence", entry) for name, entry in entries(config).items()})


def figure_of(name, config):
    """Return the entry of a figure."""
    entry = with_table(config)["figure_table"][name]
    return plugins.options_type("figure", entry["kind"]).model_validate(entry)


def draw(name, metrics, path_stem, *overlays, dataset="omniglot", norms=None):
    """Draw a figure of one scenario; `overlays` are laid over config.yaml."""
    config = default_config()
    for overlay in overlays:
        config = lay(config, overlay)
    options, about = figure_of(name, config), About(dataset, {"default": setup_of(config)}, norms)
    return plugins.load("figure", options.kind).draw(metrics, options, about, path_stem)
