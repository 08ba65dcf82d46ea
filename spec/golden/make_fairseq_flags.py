"""The flags of fairseq-train for sentence_prediction on RoBERTa, for spec/lua/options/fairseq_spec.lua:
a line for each, with 1 where it takes a value and 0 where it does not.

    python3 spec/golden/make_fairseq_flags.py FAIRSEQ… > spec/golden/fairseq_flags.txt

Each FAIRSEQ is a checkout; the list is of all of them together (made with 128b4fc, the nearest to
the FSAM fork, and 3d262bb). The declarations are read from the source without running it. The last
ones are the fork's own.
"""

import ast
import glob
import re
import sys

CONFIGS = {"CommonConfig", "DistributedTrainingConfig", "DatasetConfig", "OptimizationConfig",
           "CheckpointConfig", "FairseqBMUFConfig", "EMAConfig"}
FORK = {"--sam-type": 1, "--rho": 1, "--beta": 1, "--gamma": 1, "--alpha": 1, "--keep-ratio": 1,
        "--mask-iter-e": 1, "--num-samples": 1, "--max-updates-gsam": 1, "--warmup-updates-gsam": 1,
        "--dampening": 1, "--nesterov": 0, "--amsgrad": 0, "--task": 1, "--criterion": 1, "--arch": 1,
        "--share-all-embeddings": 0, "--lr-scheduler": 1, "--optimizer": 1}


def fields(path, wanted):
    """Flags of configuration classes."""
    for node in ast.parse(open(path).read()).body:
        if not isinstance(node, ast.ClassDef) or wanted and node.name not in wanted:
            continue
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or item.target.id.startswith("_"):
                continue
            names, call = ["--" + item.target.id.replace("_", "-")], item.value
            if isinstance(call, ast.Call):
                if ast.unparse(call.func) == "II":
                    continue  # another class declares it
                for metadata in (k.value for k in call.keywords if k.arg == "metadata"):
                    for key, value in zip(getattr(metadata, "keys", []), getattr(metadata, "values", [])):
                        if getattr(key, "value", None) == "argparse_alias":
                            names.append(ast.literal_eval(value))
            for name in names:
                yield name, 0 if "bool" in ast.unparse(item.annotation) else 1


def arguments(path):
    """Flags that are added to a parser."""
    for call in re.finditer(r"add_argument\(\s*((?:['\"]-[^)]*?))\)", open(path).read(), re.S):
        for name in re.findall(r"['\"](--[a-z0-9-]+)['\"]", call.group(1)):
            yield name, 0 if "store_true" in call.group(1) else 1


found = {}
for checkout in sys.argv[1:]:
    root = checkout + "/fairseq/"
    optim = glob.glob(root + "optim/*.py") + glob.glob(root + "optim/lr_scheduler/*.py")
    tasks = [root + "tasks/sentence_prediction.py", root + "criterions/sentence_prediction.py"]
    lists = [fields(root + "dataclass/configs.py", CONFIGS)]
    lists += [fields(path, None) for path in optim + tasks]
    lists += [arguments(path) for path in optim + tasks + [root + "models/roberta/model.py"]]
    for pairs in lists:
        for name, takes in pairs:
            found.setdefault(name, takes)
for name, takes in FORK.items():
    found.setdefault(name, takes)
for name in sorted(found):
    print(name, found[name])
