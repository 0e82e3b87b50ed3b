#!/bin/bash
#SBATCH --job-name=sh_010_.render
#SBATCH --output=logs/render.%A_%a.log
#SBATCH --open-mode=append
#SBATCH --array=0-2
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=90
#SBATCH --requeue
#SBATCH --signal=B:USR1@60
#SBATCH --account="show ab"
#SBATCH --exclusive

frames=(
    1001-1004
    1005-1008
    1009-1012
)
command=(
    /opt/vdp/bin/python
    -I
    -m
    vdp_engine
    render
    /shows/ab/sh010/vdp
    --progress
    plain
    --threads
    4
    --device
    cpu
    --frames
    "${frames[SLURM_ARRAY_TASK_ID]}"
)
restarts=7

# Told of the end of its time, or of being cancelled or preempted, the engine saves its checkpoint and exits with 143.
out_of_time=
"${command[@]}" &
engine=$!
trap 'kill -TERM "$engine"' TERM
trap 'out_of_time=yes; kill -TERM "$engine"' USR1
while kill -0 "$engine" 2>/dev/null; do wait "$engine"; done
wait "$engine"
code=$?
trap - TERM USR1

# 75: the machine, not the work, was in the way. Other failures would come again.
if [[ $code == 75 || ($code == 143 && -n $out_of_time) ]]; then
    if (( ${SLURM_RESTART_COUNT:-0} < restarts )); then
        echo "exit $code: to be queued again"
        scontrol requeue "$SLURM_JOB_ID"
    else
        echo "exit $code: given up after $restarts restarts"
    fi
fi
exit "$code"
