"""What an emulated CCID reader and its card decide. `scripts/with-readers --help` lists them for users."""

_HEX = "hexadecimal"
_NUMBER = "a number"

# Name: initial value, allowed values.
SETTINGS = {
    "atr": ("", _HEX),  # the answer to reset in place of the card's own
    "late": ("0", _NUMBER),  # so many power-ups after each insertion get no answer to reset
    "wtx": ("0", _NUMBER),  # the card asks for more time every so many milliseconds; 0: never
    "delay": ("0", _NUMBER),  # every command takes so many milliseconds more
    "pps": ("echo", ("echo", "refuse")),  # the card's answer to PPS
    "le": ("refuse", ("refuse", "ignore", "6700")),  # T=0: a command with data and Le
    "less": ("6c", ("6c", "give")),  # T=0: less data than Le: 6Cxx first, or what there is
    "class": ("any", ("any", "00", "same")),  # T=0: the class that GET RESPONSE must have, else 6E00
    "ff": ("card", ("card", "refuse", "mute", "reader")),  # class FF
    "long": ("ok", ("ok", "mute")),  # T=1: commands of extended length
    "edge": ("noicc", ("noicc", "mute", "hw", "silent")),  # how the reader reports a card that left in an exchange
    "params": ("ok", ("ok", _HEX)),  # SetParameters fails with this error
    "slot": ("ok", ("ok", _HEX)),  # GetSlotStatus fails with this error
    "escape": ("00", _HEX),  # the answer to an escape that is not the driver's own
}


class Settings(dict):
    def __init__(self):
        super().__init__({name: start for name, (start, _) in SETTINGS.items()})

    def change(self, text):
        """Take `NAME=VALUE`."""
        name, equals, value = text.partition("=")
        if not equals or name not in SETTINGS:
            raise ValueError(f"unknown setting: {text}")
        allowed = SETTINGS[name][1]
        if not any(_fits(value, kind) for kind in (allowed if isinstance(allowed, tuple) else (allowed,))):
            raise ValueError(f"{name} cannot be {value!r}")
        self[name] = value

    def number(self, name):
        return int(self[name])


def _fits(value, kind):
    if kind == _NUMBER:
        return value.isdecimal()
    if kind == _HEX:
        try:
            return bytes.fromhex(value) is not None
        except ValueError:
            return False
    return value == kind
