"""What the rules take, as functions of a job's wildcards: inputs wherever they are kept, params, files."""

from collections.abc import Callable

from workflow.lib.code import Code
from workflow.lib.homes import Homes
from workflow.lib.jobs import Jobs, Place
from workflow.lib.stages import ADAPTED, MODELS, path_of


class Takes:
    """What a job of each stage takes. If several scenarios share results, the settings are those of one."""

    def __init__(self, jobs: Jobs, homes: Homes, code: Code):
        self.jobs, self.homes, self.code = jobs, homes, code
        self._params: dict[tuple[str, Place], dict] = {}

    def place(self, stage: str, wildcards) -> Place:
        """Return the place in the config that a job works for."""
        return self.homes.asker(stage, Place.of(wildcards))

    def from_(self, stage: str, before: str, *outputs: str) -> dict[str, Callable[[object], str]]:
        """Return inputs of a stage, outputs of a stage before it, by their names."""
        return {output: self.output(stage, before, output) for output in outputs}

    def images(self, stage: str) -> dict[str, Callable[[object], str]]:
        """Return the inputs of a stage that reads images: images, classes, and the split, the role of each image."""
        return self.from_(stage, "augment", "images", "classes") | self.from_(stage, "split", "split")

    def attack_images(self, stage: str) -> dict[str, Callable[[object], str]]:
        """Return the inputs of a stage in which attackers train: the keyed images and their classes."""
        files = {"keyed": "attack_training", "keyed_classes": "attack_training_classes"}
        return {name: self.output(stage, "stamp", output) for name, output in files.items()}

    def output(self, stage: str, before: str, output: str = "") -> Callable[[object], str]:
        """Return an input of a stage: an output of a stage before it, the first if none is named."""

        def path(wildcards) -> str:
            return self._path(before, self.place(stage, wildcards), wildcards, output)

        return path

    def model(self, stage: str) -> Callable[[object], str]:
        """Return the model of `MODELS` that a client adapts, repaired if the defence says so."""

        def path(wildcards) -> str:
            place = self.place(stage, wildcards)
            source = "repair" if stage in ADAPTED and self.jobs.repaired(place) else MODELS[place.model]
            return self._path(source, place, wildcards)

        return path

    def _path(self, stage: str, place: Place, wildcards, output: str = "") -> str:
        """Return where an output of a stage is kept for a place; seed, scope, client and model as in the wildcards."""
        home = self.homes.home(stage, place)
        return path_of(stage, output).format(**{**dict(wildcards.items()), **home._asdict()})

    def param(self, stage: str, name: str = "settings") -> Callable[[object], dict]:
        """Return a param of a stage: what it reads of the config."""

        def value(wildcards) -> dict:
            place = self.place(stage, wildcards)
            if (stage, place) not in self._params:
                self._params[stage, place] = self.jobs.params(stage, place)
            return self._params[stage, place][name]

        return value

    def methods(self, stage: str) -> Callable[[object], dict[str, str]]:
        """Return the param with the versions of the methods that a stage uses, and of the modules that they reach."""

        def versions(wildcards) -> dict[str, str]:
            found: dict[str, str] = {}
            for file in self.jobs.method_files(stage, self.place(stage, wildcards)):
                found |= self.code.versions(file)
            return found

        return versions

    def files(self, stage: str) -> Callable[[object], list[str]]:
        """Return the input of the files that options of a stage's methods name."""
        return lambda wildcards: self.jobs.option_files(stage, self.place(stage, wildcards))
