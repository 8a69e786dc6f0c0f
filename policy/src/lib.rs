//! Qwen2.5-VL with LoRA: model, generation, objective, optimiser and checkpoints
