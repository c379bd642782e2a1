/** A TCP proxy before the API that cuts connections; also of the tests of clients/typescript. */
import net from "node:net";

/** Passes bytes on; cuts when told to. */
export class CuttingProxy {
  /** Called with each piece that a client sends; true: the piece is passed on, and then nothing comes back any more. */
  cutAfter = () => false;
  /** While true connections are refused, and nothing comes back on those that there are. */
  isDown = false;
  #sockets = new Set();

  static async start(target) {
    const proxy = new CuttingProxy();
    proxy.server = net.createServer((client) => proxy.#serve(client, target));
    await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.base = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  #serve(client, target) {
    if (this.isDown) return client.destroy();
    const server = net.connect(Number(target.port), target.hostname);
    let isMute = false;
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        if (!isMute) (socket === client ? server : client).destroy();
      });
    }
    client.on("data", (piece) => {
      server.write(piece);
      if (!this.cutAfter(piece.toString("latin1"))) return;
      isMute = true;
    });
    server.on("data", (piece) => isMute || this.isDown || client.write(piece));
  }

  /** Refuses new connections until `restore`, and cuts those that there are once what was sent has gone through. */
  cut() {
    this.isDown = true;
    const sockets = [...this.#sockets];
    setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, 50);
  }

  restore() {
    this.isDown = false;
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
  }
}
