python experiments/run.py --config=configs/maze2d.py:small --config.task=maze2d-large-v1 --config.variant=CQL --config.seeds=0,1,2,3,4 --workdir=runs/tables/maze2d-large-v1/CQL
