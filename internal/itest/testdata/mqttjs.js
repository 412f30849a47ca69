// node mqttjs.js PACKAGE URL VERSION: talks to a broker by MQTT.js and prints "ok"
// when all went as it should.
const assert = require('node:assert')
const [pkg, url, version] = process.argv.slice(2)
const mqtt = require(pkg)
const v5 = version === '5'

const id = `js-${version}-${url.split(':')[0]}`
const base = { protocolVersion: Number(version), reconnectPeriod: 0, clean: false }
const open = (options) => mqtt.connectAsync(url, { ...base, ...options })

// inbox collects a client's messages and waits for a number of them.
function inbox(client) {
  const got = []
  let wake = () => {}
  client.on('message', (topic, payload, packet) => {
    got.push({ topic, payload: payload.toString(), packet })
    wake()
  })
  return async (n) => {
    while (got.length < n) await new Promise((resolve) => (wake = resolve))
    return got.splice(0, n)
  }
}

async function main() {
  const session = { clientId: `${id}-sub`, properties: v5 ? { sessionExpiryInterval: 3600 } : undefined }
  let sub = await open(session)
  let next = inbox(sub)
  const granted = await sub.subscribeAsync({ [`${id}/+`]: { qos: 2 }, [`${id}/0`]: { qos: 0 } })
  assert.deepStrictEqual(granted.map((g) => g.qos).sort(), [0, 2])

  const pub = await open({ clientId: `${id}-pub`, clean: true })
  for (const qos of [0, 1, 2]) {
    const properties = v5 ? { userProperties: { qos: String(qos) }, contentType: 'text', messageExpiryInterval: 60 } : undefined
    await pub.publishAsync(`${id}/${qos}`, `qos ${qos}`, { qos, properties })
    const [m] = await next(1)
    assert.strictEqual(m.payload, `qos ${qos}`)
    assert.strictEqual(m.packet.qos, qos)
    if (v5) {
      assert.strictEqual(m.packet.properties.contentType, 'text')
      assert.strictEqual(m.packet.properties.userProperties.qos, String(qos))
    }
  }

  // What a session misses comes when it is back, in order.
  await sub.endAsync(true)
  for (let i = 0; i < 100; i++) await pub.publishAsync(`${id}/later`, String(i), { qos: 1 })
  sub = mqtt.connect(url, { ...base, ...session })
  next = inbox(sub)
  const [connack] = await new Promise((resolve) => sub.once('connect', (...args) => resolve(args)))
  assert.strictEqual(connack.sessionPresent, true)
  assert.deepStrictEqual((await next(100)).map((m) => m.payload), Array.from({ length: 100 }, (_, i) => String(i)))

  // Retained messages, large payloads, wills.
  const large = 'x'.repeat(256 << 10)
  await pub.publishAsync(`${id}-retained`, large, { qos: 1, retain: true })
  await sub.subscribeAsync(`${id}-retained`, { qos: 1 })
  const [kept] = await next(1)
  assert.strictEqual(kept.payload, large)
  assert.strictEqual(kept.packet.retain, true)
  await pub.publishAsync(`${id}-retained`, '', { qos: 1, retain: true })
  await next(1)
  const mortal = await open({ clientId: `${id}-mortal`, clean: true, will: { topic: `${id}/will`, payload: 'gone', qos: 1 } })
  mortal.on('error', () => {})
  mortal.stream.destroy()
  assert.strictEqual((await next(1))[0].payload, 'gone')

  if (v5) {
    // Topic aliases, as many as the broker offers.
    const alias = await open({ clientId: `${id}-alias`, clean: true, autoAssignTopicAlias: true })
    for (let i = 0; i < 200; i++) await alias.publishAsync(`${id}/${i % 50}`, String(i), { qos: 1 })
    const got = await next(200)
    assert.deepStrictEqual(got.map((m) => m.topic), Array.from({ length: 200 }, (_, i) => `${id}/${i % 50}`))
    await alias.endAsync()
  }
  await Promise.all([pub.endAsync(), sub.endAsync()])
  console.log('ok')
}

main().catch((err) => {
  console.error(err)
  process.exit(1)
})
