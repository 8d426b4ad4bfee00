import subprocess
import sys


def test_torchs_compiler_is_not_imported_to_train() -> None:
    code = (
        "import sys; from pathlib import Path; from models.loading import load_tokenizer\n"
        "from models.resolved import ResolvedModel\n"
        "try: load_tokenizer(ResolvedModel('none', Path('none'), 'folder', ''))\n"
        "except OSError: pass\n"
        "import bitsandbytes, torch; from trl import SFTTrainer\n"
        "print('torch._inductor.compile_fx' in sys.modules, torch.compile.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout.split() == ["False", "torch"], done.stderr
