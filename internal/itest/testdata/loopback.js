// Preloaded into the Kinesis emulators (node -r): they listen on every interface
// and have no option for it. This makes every TCP listener one of 127.0.0.1.
const { Server } = require('node:net')

const listen = Server.prototype.listen
Server.prototype.listen = function (first, ...rest) {
  if (first !== null && typeof first === 'object' && first.port !== undefined) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest)
  }
  if (typeof first === 'number' || /^\d+$/.test(first)) {
    if (typeof rest[0] === 'string') rest.shift()
    return listen.call(this, first, '127.0.0.1', ...rest)
  }
  return listen.call(this, first, ...rest) // a path or a handle
}
