# The project's images, for clusters: `docker build -t NAME:0.1.0-gpu .`, and with torch for CPUs alone, for heads,
#   docker build -t NAME:0.1.0-cpu --build-arg TORCH_INDEX=URL .
# where URL is the index of torch's CPU wheels: the one in the command that pytorch.org's "Get started" shows for CPU.
# Never built so far: its commands were tried one by one outside of docker (docs/cluster.md).

# Ray's own image has what `ray up` and Kubernetes need in a container: user and home, rsync, ssh, tmux, wget. Its
# version and Python are those of constraints.txt. No CUDA in it: torch's wheels bring theirs, the machine its driver.
FROM rayproject/ray:2.60.0-py311-cpu

ARG TORCH_INDEX=""

# What makes NVIDIA's runtime show GPUs in a container whose image has no CUDA; without GPUs nothing looks at it.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

RUN mkdir -p /home/ray/robustune  # by the image's user: the folder that WORKDIR makes is root's
WORKDIR /home/ray/robustune
COPY --chown=ray constraints.txt pyproject.toml README.md LICENSE ./

# torch first, from its own index if that is asked for: all else then finds it there. A layer of its own, since it is
# the largest and changes least.
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -c constraints.txt torch torchvision

# All else that the project needs, and its name and version: there is no code here yet, so that a change of the code
# leaves this layer as it is.
RUN pip install --no-cache-dir -c constraints.txt '.[cluster,aws,s3,postgres]'

# The code. What is mounted here instead is used at once.
COPY --chown=ray engine engine
COPY --chown=ray pipelines pipelines
COPY --chown=ray search_spaces search_spaces
ENV PYTHONPATH=/home/ray/robustune

# What does not fit together is found while the image is built.
RUN python -c 'import engine.orchestration.sweep'
