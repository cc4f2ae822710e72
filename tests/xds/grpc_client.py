"""A program: gRPC's own xDS client. Says which address it listens on as a backend, then makes one call per line of input."""

import os
import sys
from concurrent import futures

import grpc  # type: ignore[import-untyped]

# Read when gRPC makes its first channel: https://github.com/grpc/proposal/blob/master/A27-xds-global-load-balancing.md
os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = sys.argv[1]


def main() -> None:
    handler = grpc.method_handlers_generic_handler(
        "test.Echo", {"Say": grpc.unary_unary_rpc_method_handler(lambda request, _: request)}
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    channel = grpc.insecure_channel("xds:///echo")
    for line in sys.stdin:
        try:
            answer = channel.unary_unary("/test.Echo/Say")(line.encode(), timeout=120, wait_for_ready=line.startswith("wait"))
            print("OK", answer.decode().strip(), flush=True)
        except grpc.RpcError as error:
            print(error.code().name, error.details().replace("\n", " "), flush=True)
    channel.close()
    server.stop(None)


main()
