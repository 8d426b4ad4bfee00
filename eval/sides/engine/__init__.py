"""An engine that answers for models of this machine: vLLM, SGLang, or llama.cpp's server.

    forms.py        what is asked of an engine, and what comes back
    llama_cpp.py vllm.py sglang.py       one engine each
    kinds.py        which one an address is
    shelf.py        an adapter's files where the engine can read them
    engine.py       looking, putting adapters on, asking, for threads of any number
    side.py         one model on it as a `Side`

Whatever is asked goes as token ids, by the prompt that training used, and comes back as token ids: an engine's own
chat template and its own reading of texts have no part in it. What an engine cannot do is an `EngineError` with the
reason, and whoever gets one lets this machine answer.
"""

from eval.sides.engine.engine import Engine as Engine
from eval.sides.engine.forms import EngineError as EngineError
from eval.sides.engine.forms import GoneError as GoneError
