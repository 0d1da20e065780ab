python experiments/run.py --config=configs/gym.py:small --config.task=hopper-medium-expert-v2 --config.variant=RVDT-Dup --config.seeds=0,1,2 --workdir=runs/tables/hopper-medium-expert-v2/RVDT-Dup
