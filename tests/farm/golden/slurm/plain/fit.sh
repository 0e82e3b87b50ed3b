#!/bin/bash
#SBATCH --job-name=sh010.fit
#SBATCH --output=logs/fit.%j.log
#SBATCH --open-mode=append
#SBATCH --ntasks=1
#SBATCH --mem=16384M
#SBATCH --gres=gpu:1
#SBATCH --time=240
#SBATCH --requeue
#SBATCH --signal=B:USR1@60

command=(
    /opt/vdp/bin/python
    -I
    -m
    vdp_engine
    fit
    /shows/ab/sh010/vdp
    --progress
    plain
    --device
    cuda
    --max-memory
    12288M
)
restarts=5

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
