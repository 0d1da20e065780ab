python experiments/run.py --config=configs/gym.py:small --config.task=hopper-medium-replay-v2 --config.variant=QT --config.seeds=0,1,2 --workdir=runs/tables/hopper-medium-replay-v2/QT
