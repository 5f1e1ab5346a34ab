"""Words in a row of a form."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy


class Words(QLabel):
    """Plain text in as many lines as its width needs, and no more room than these."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)  # it may be a stranger's
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
