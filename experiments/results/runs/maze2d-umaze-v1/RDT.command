python experiments/run.py --config=configs/maze2d.py:small --config.task=maze2d-umaze-v1 --config.variant=RDT --config.seeds=0,1,2,3,4 --workdir=runs/tables/maze2d-umaze-v1/RDT
