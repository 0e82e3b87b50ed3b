"""Where the weights of ``motion.boxed`` come from: generated scenes, and training on them.

Nothing in the engine imports this room; ``python -m vdp_engine.flow_training`` does.
"""
