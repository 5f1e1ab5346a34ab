"""What shells start behind them, or nohup, ignores signals; commands heed that, tests of signals must not."""

import signal


def heed_signals() -> None:
    """Let Ctrl-C, and the end of the terminal, do what they do in front."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
