python experiments/run.py --config=configs/gym.py:small --config.task=walker2d-medium-expert-v2 --config.variant=RDT --config.seeds=0,1,2 --workdir=runs/tables/walker2d-medium-expert-v2/RDT
