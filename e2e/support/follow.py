# Follows a job as the library's documentation shows it: dials again whenever the connection is lost.
# Prints an empty line for each connection, then each message; says what it reads on stdin.
import asyncio
import sys

import websockets


async def main(url):
    loop = asyncio.get_running_loop()
    async for socket in websockets.connect(url):
        print(flush=True)
        loop.add_reader(
            sys.stdin, lambda: loop.create_task(socket.send(sys.stdin.readline().strip()))
        )
        try:
            async for message in socket:
                print(message, flush=True)
        except websockets.ConnectionClosed:
            continue


asyncio.run(main(sys.argv[1]))
