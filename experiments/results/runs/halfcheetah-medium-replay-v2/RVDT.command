python experiments/run.py --config=configs/gym.py:small --config.task=halfcheetah-medium-replay-v2 --config.variant=RVDT --config.seeds=0,1,2 --workdir=runs/tables/halfcheetah-medium-replay-v2/RVDT
