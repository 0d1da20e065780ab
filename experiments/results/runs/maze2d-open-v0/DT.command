python experiments/run.py --config=configs/maze2d_small.py --config.task=maze2d-open-v0 --config.variant=DT --config.seeds=0,1,2 --config.eval.targets=20.66, --workdir=runs/tables/maze2d-open-v0/DT
