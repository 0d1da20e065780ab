python experiments/run.py --config=configs/antmaze.py:small --config.task=antmaze-large-diverse-v0 --config.variant=VDT --config.seeds=0,1,2 --workdir=runs/tables/antmaze-large-diverse-v0/VDT
