python experiments/run.py --config=configs/maze2d.py:small --config.task=maze2d-large-dense-v1 --config.variant=VDT --config.seeds=0,1,2,3,4,5,6,7,8,9 --workdir=runs/tables/maze2d-large-dense-v1/VDT
