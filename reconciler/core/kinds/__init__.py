"""The kinds a fleet repository may hold: one line each."""

from reconciler.core.kinds.application import Application
from reconciler.core.kinds.certificate import Certificate
from reconciler.core.kinds.cluster import Cluster
from reconciler.core.kinds.configuration import Configuration
from reconciler.core.kinds.container import Container
from reconciler.core.kinds.document import API_VERSION
from reconciler.core.kinds.host import Host
from reconciler.core.kinds.notification import Notification
from reconciler.core.kinds.proxy import Proxy
from reconciler.core.kinds.proxygroup import ProxyGroup
from reconciler.core.kinds.rollout import Rollout
from reconciler.core.kinds.settings import Settings
from reconciler.core.kinds.spec import Spec
from reconciler.core.kinds.virtualhost import VirtualHost
from reconciler.core.kinds.virtualmachine import VirtualMachine

KINDS: dict[str, type[Spec]] = {
    "Settings": Settings,
    "Host": Host,
    "VirtualMachine": VirtualMachine,
    "Container": Container,
    "Application": Application,
    "ProxyGroup": ProxyGroup,
    "Proxy": Proxy,
    "Configuration": Configuration,
    "Cluster": Cluster,
    "VirtualHost": VirtualHost,
    "Certificate": Certificate,
    "Rollout": Rollout,
    "Notification": Notification,
}

__all__ = ["API_VERSION", "KINDS", "Spec"]
