"""A cloud that Terraform plans and applies against: what exists is a dict that tests look into.

It agrees to everything, invents what Azure would decide (invented_values.py), and knows no rule but
those that a test gives it: an attribute that can not be changed in place, a resource that fails or
takes long. So a plan is right about what is made, changed and deleted in which order, and says
nothing about whether Azure would accept it.
"""

from __future__ import annotations

import copy
import threading

from invented_values import SUBSCRIPTION, WHO, Inventor, identifier
from provider_values import UNKNOWN, changed, packed, unknown, unpacked
from schema_provider import message_classes

ALWAYS = 1_000_000
LOGIN = "login"
_ERROR = 1  # the severity of a diagnostic
_MESSAGES = message_classes(
    {  # of tfplugin6.proto, what is read and answered here: field -> (number, type)
        "DynamicValue": {"msgpack": (1, "BYTES"), "json": (2, "BYTES")},
        "Diagnostic": {"severity": (1, "INT32"), "summary": (2, "STRING"), "detail": (3, "STRING")},
        "Step": {"attribute_name": (1, "STRING")},
        "AttributePath": {"steps": (1, "[Step]")},
        "RawState": {"json": (1, "BYTES")},
        "ConfigureRequest": {"config": (2, "DynamicValue")},
        "ConfigureReply": {"diagnostics": (1, "[Diagnostic]")},
        "UpgradeRequest": {"type_name": (1, "STRING"), "raw_state": (3, "RawState")},
        "UpgradeReply": {"upgraded_state": (1, "DynamicValue")},
        "ReadRequest": {
            "type_name": (1, "STRING"),
            "current_state": (2, "DynamicValue"),
            "private": (3, "BYTES"),
        },
        "ReadReply": {"new_state": (1, "DynamicValue"), "private": (3, "BYTES")},
        "PlanRequest": {
            "type_name": (1, "STRING"),
            "prior_state": (2, "DynamicValue"),
            "proposed_new_state": (3, "DynamicValue"),
            "prior_private": (5, "BYTES"),
        },
        "PlanReply": {
            "planned_state": (1, "DynamicValue"),
            "requires_replace": (2, "[AttributePath]"),
            "planned_private": (3, "BYTES"),
        },
        "ApplyRequest": {
            "type_name": (1, "STRING"),
            "prior_state": (2, "DynamicValue"),
            "planned_state": (3, "DynamicValue"),
            "planned_private": (5, "BYTES"),
        },
        "ApplyReply": {
            "new_state": (1, "DynamicValue"),
            "private": (2, "BYTES"),
            "diagnostics": (3, "[Diagnostic]"),
        },
        "DataRequest": {"type_name": (1, "STRING"), "config": (2, "DynamicValue")},
        "DataReply": {"state": (1, "DynamicValue")},
    }
)
_EXISTS = (  # as azurerm says it
    'A resource with the ID "{id}" already exists - to be managed via Terraform this resource '
    "needs to be imported into the State. Please see the resource documentation for "
    '"{kind}" for more information.'
)


class Refused(Exception):  # noqa: N818 - it is an answer
    """What the cloud says where it does not do what it was told."""

    def said(self):
        """As a diagnostic; azurerm puts everything into the summary."""
        return [{"severity": _ERROR, "summary": str(self)}]


class Cloud:
    """What exists, and what is to happen to what Terraform asks for.

    `resources` are values by id, to be looked into, changed, or deleted behind Terraform's back,
    and `kinds` their types; `applied` are the (type, action) that were done, in order. `replacing`
    are the (type, attribute) that can not change in place. `delayed` is set once an apply has begun
    to wait.
    """

    def __init__(self, replacing=()):
        self.resources, self.kinds, self.applied = {}, {}, []
        self.subscription = SUBSCRIPTION
        self.delayed = threading.Event()
        self._replacing = frozenset(replacing)
        self._failures, self._delays = {}, {}
        self._released = threading.Event()
        self._lock = threading.Lock()

    def fail(self, kind, message, times=1):
        """The next applies of a type, ALWAYS or this many, do nothing and say this.

        The type LOGIN is the provider itself, which lets nobody in.
        """
        self._failures[kind] = [message, times]

    def delay(self, kind, seconds):
        """Applies of a type take this long, or until `release` or an interrupt of Terraform."""
        self.delayed.clear()
        self._released.clear()
        self._delays[kind] = seconds

    def release(self):
        """No apply waits any longer."""
        self._delays.clear()
        self._released.set()

    def forget(self, kind):
        """Deletes whatever is of a type behind Terraform's back; returns the ids."""
        gone = self.of(kind)
        for one in gone:
            del self.resources[one]
        return gone

    def of(self, kind):
        """The ids of what exists of a type."""
        return [one for one in self.resources if self.kinds[one] == kind]

    def plan(self, kind, block, prior, proposed):
        """What a resource would become, and which of its attributes can not become it in place."""
        if proposed is None:
            return None, []
        planned = changed(block, proposed, _undecided)
        return planned, [
            name
            for name in sorted(planned)
            if (kind, name) in self._replacing and prior and prior[name] != planned[name]
        ]

    def apply(self, kind, block, prior, planned):
        """What a resource has become, None where it is gone; raises Refused."""
        if seconds := self._delays.get(kind):
            self.delayed.set()
            self._released.wait(seconds)
        with self._lock:
            self.refuse(kind)
            if planned is None:
                self.resources.pop(prior["id"], None)
            else:
                planned = self._made(kind, block, prior, planned)
            action = "create" if prior is None else "delete" if planned is None else "update"
            self.applied.append((kind, action))
        return planned

    def data(self, kind, block, config):
        """What a data source finds: what was asked for, and something for all the rest."""
        if kind.endswith("_client_config"):
            who = {**WHO, "subscription_id": self.subscription}
            config = {name: who.get(name, value) for name, value in config.items()}
        return self._decided(kind, block, changed(block, config, _undecided))

    def refuse(self, kind):
        """Raises Refused where a type is to fail."""
        message, times = self._failures.get(kind, ("", 0))
        if times:
            self._failures[kind] = [message, times - 1]
            raise Refused(message)

    def _made(self, kind, block, prior, planned):
        made = self._decided(kind, block, planned)
        if prior is None and made["id"] in self.resources:
            raise Refused(_EXISTS.format(id=made["id"], kind=kind))
        self.resources[made["id"]], self.kinds[made["id"]] = copy.deepcopy(made), kind
        return made

    def _decided(self, kind, block, values):
        """The values, with something invented for each that is unknown."""
        if unknown(values["id"]):
            values = {**values, "id": identifier(kind, values, self.subscription)}
        inventor = Inventor(values, self.subscription)
        return changed(
            block,
            values,
            lambda path, attribute, value: (
                inventor.invented(path, attribute) if unknown(value) else value
            ),
        )

    def functions(self, given):
        """Name of a call -> bytes of a request -> bytes of a reply, for one provider's schemas."""
        service = _Service(self, given)
        return {
            "ConfigureProvider": service.configure,
            "StopProvider": service.stop,
            "UpgradeResourceState": service.upgrade,
            "ReadResource": service.read,
            "PlanResourceChange": service.plan,
            "ApplyResourceChange": service.apply,
            "ReadDataSource": service.data,
        }


def _undecided(_path, attribute, value):
    """What is computed is unknown until it is applied, and a write-only value is never kept."""
    if attribute.get("write_only"):
        return None
    return UNKNOWN if value is None and attribute.get("computed") else value


def _request(name, data):
    return _MESSAGES[name].FromString(data)


def _reply(name, **fields):
    return _MESSAGES[name](**fields).SerializeToString()


class _Service:
    """The calls of the protocol that concern what exists."""

    def __init__(self, cloud, given):
        self._cloud, self._given = cloud, given

    def _block(self, kind):
        return self._given["resource_schemas"][kind]["block"]

    def configure(self, data):
        config = unpacked(_request("ConfigureRequest", data).config) or {}
        if isinstance(subscription := config.get("subscription_id"), str):
            self._cloud.subscription = subscription
        said = []
        try:
            self._cloud.refuse(LOGIN)
        except Refused as error:
            said = error.said()
        return _reply("ConfigureReply", diagnostics=said)

    def stop(self, _data):
        self._cloud.release()
        return b""

    def upgrade(self, data):
        """States are of this version: as it was in the file, in JSON."""
        asked = _request("UpgradeRequest", data)
        return _reply("UpgradeReply", upgraded_state={"json": asked.raw_state.json})

    def read(self, data):
        asked = _request("ReadRequest", data)
        found = self._cloud.resources.get(unpacked(asked.current_state)["id"])
        return _reply("ReadReply", new_state=packed(found), private=asked.private)

    def plan(self, data):
        asked = _request("PlanRequest", data)
        prior, proposed = unpacked(asked.prior_state), unpacked(asked.proposed_new_state)
        planned, replacing = self._cloud.plan(
            asked.type_name, self._block(asked.type_name), prior, proposed
        )
        return _reply(
            "PlanReply",
            planned_state=packed(planned),
            requires_replace=[{"steps": [{"attribute_name": name}]} for name in replacing],
            planned_private=asked.prior_private,
        )

    def apply(self, data):
        asked = _request("ApplyRequest", data)
        prior, planned = unpacked(asked.prior_state), unpacked(asked.planned_state)
        said = []
        try:
            new = self._cloud.apply(asked.type_name, self._block(asked.type_name), prior, planned)
        except Refused as error:
            new, said = prior, error.said()
        return _reply(
            "ApplyReply", new_state=packed(new), private=asked.planned_private, diagnostics=said
        )

    def data(self, data):
        asked = _request("DataRequest", data)
        block = self._given["data_source_schemas"][asked.type_name]["block"]
        found = self._cloud.data(asked.type_name, block, unpacked(asked.config))
        return _reply("DataReply", state=packed(found))
