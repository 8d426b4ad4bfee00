"""python -m finetuning …"""

from finetuning.cli import main

main()
