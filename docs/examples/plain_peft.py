"""An adapter as anybody makes one: transformers and PEFT, a loop, and nothing of Before/After but where a base is.

    python docs/examples/plain_peft.py FOLDER [--steps 60]

Learns to say whether a review is positive or negative, on the bundled ones. FOLDER gets what PEFT writes, and
`trained-on.jsonl`, the rows that it learned from.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
ASK = "Is this review positive or negative?"


def main() -> None:
    asked = argparse.ArgumentParser(description="Make an adapter with plain PEFT.")
    asked.add_argument("folder", type=Path)
    asked.add_argument("--steps", type=int, default=60)
    given = asked.parse_args()

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sys.path.insert(0, str(ROOT))
    from models.sources import resolve  # a folder, the Hub's cache, the Hub, or a package that holds the weights

    lines = (ROOT / "data" / "corpora" / "reviews.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "train"]
    where = resolve(BASE).path
    tokenizer = AutoTokenizer.from_pretrained(where)
    model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32)
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    model.peft_config["default"].base_model_name_or_path = BASE
    optimizer = torch.optim.AdamW((each for each in model.parameters() if each.requires_grad), lr=5e-4)

    random.seed(0)
    torch.manual_seed(0)
    for step in range(given.steps):
        batch = random.sample(rows, 8)
        prompts = [
            tokenizer.apply_chat_template(
                [{"role": "system", "content": ASK}, {"role": "user", "content": row["text"]}],
                add_generation_prompt=True,
                tokenize=False,
            )
            for row in batch
        ]
        encoded = [
            (tokenizer(prompt, add_special_tokens=False).input_ids,
             tokenizer(f"{row['label']}<|im_end|>", add_special_tokens=False).input_ids)
            for prompt, row in zip(prompts, batch, strict=True)
        ]  # fmt: skip
        longest = max(len(prompt) + len(answer) for prompt, answer in encoded)
        ids, labels, mask = [], [], []
        for prompt, answer in encoded:
            room = longest - len(prompt) - len(answer)
            ids.append(prompt + answer + [tokenizer.pad_token_id] * room)
            labels.append([-100] * len(prompt) + answer + [-100] * room)
            mask.append([1] * (longest - room) + [0] * room)
        loss = model(
            input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask), labels=torch.tensor(labels)
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 9:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(given.folder)
    learned = [json.dumps({"text": row["text"], "label": row["label"]}, ensure_ascii=False) for row in rows]
    (given.folder / "trained-on.jsonl").write_text("\n".join(learned) + "\n", encoding="utf-8")
    print(f"Written into {given.folder}")


if __name__ == "__main__":
    main()
