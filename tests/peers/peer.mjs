// SPDX-License-Identifier: GPL-3.0-or-later
// A Matrix client for the tests that shares no line with the gateway: matrix-js-sdk with Element's crypto in
// "exclude insecure devices" mode (MSC4153). One JSON object a line: {id, do, ...} in, {id, ok | error} out, and
// {seen: {...}} for each event as it is known now (again when it was decrypted or changed).

import readline from "node:readline";
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { EventShieldColour, OnlySignedDevicesIsolationMode } from "matrix-js-sdk/lib/crypto-api/index.js";

logger.setLevel("silent");
for (const level of ["debug", "info", "log", "warn", "error", "trace"]) console[level] = () => {};

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
let client;

async function shieldOf(event) {
    if (!event.isEncrypted()) return "unencrypted";
    const info = await client.getCrypto().getEncryptionInfoForEvent(event);
    const colours = { [EventShieldColour.NONE]: "none", [EventShieldColour.GREY]: "grey", [EventShieldColour.RED]: "red" };
    return info === null ? "unknown" : `${colours[info.shieldColour]}${info.shieldReason === null ? "" : ` ${info.shieldReason}`}`;
}

async function show(event) {
    if (!event.getRoomId() || event.isSending()) return;
    say({
        seen: {
            event_id: event.getId(),
            room_id: event.getRoomId(),
            sender: event.getSender(),
            type: event.getType(),
            wire_type: event.getWireType(),
            state_key: event.getStateKey() ?? null,
            content: event.getContent(),
            wire_content: event.getWireContent(),
            relation: event.getRelation() ?? null,
            redacts: event.event.redacts ?? event.getContent().redacts ?? null,
            failure: event.isDecryptionFailure() ? String(event.decryptionFailureReason) : null,
            shield: event.isBeingDecrypted() ? "pending" : await shieldOf(event),
            ts: event.getTs(),
        },
    });
}

const actions = {
    async login({ homeserver, user_id, password, isolated }) {
        const asked = await sdk.createClient({ baseUrl: homeserver }).loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: user_id },
            password,
            initial_device_display_name: "peer",
        });
        client = sdk.createClient({
            baseUrl: homeserver,
            userId: asked.user_id,
            accessToken: asked.access_token,
            deviceId: asked.device_id,
            cryptoCallbacks: { getSecretStorageKey: async () => null },
        });
        await client.initRustCrypto({ useIndexedDB: false });
        if (isolated !== false) client.getCrypto().setDeviceIsolationMode(new OnlySignedDevicesIsolationMode());
        client.on(sdk.RoomEvent.Timeline, (event) => void show(event));
        client.on(sdk.MatrixEventEvent.Decrypted, (event) => void show(event));
        await client.startClient({ initialSyncLimit: 30 });
        await new Promise((resolve) => {
            const ready = (state) => {
                if (state !== "PREPARED") return;
                client.off(sdk.ClientEvent.Sync, ready);
                resolve();
            };
            client.on(sdk.ClientEvent.Sync, ready);
        });
        return { user_id: client.getUserId(), device_id: client.getDeviceId() };
    },
    async sign({ password }) {
        await client.getCrypto().bootstrapCrossSigning({
            authUploadDeviceSigningKeys: async (request) => {
                await request({
                    type: "m.login.password",
                    identifier: { type: "m.id.user", user: client.getUserId() },
                    password,
                });
            },
        });
        return await client.getCrypto().isCrossSigningReady();
    },
    create: async ({ invite, version, encrypted, direct, settings, alias }) =>
        (
            await client.createRoom({
                invite,
                room_version: version ?? undefined,
                is_direct: direct,
                room_alias_name: alias ?? undefined,
                initial_state: encrypted
                    ? [
                          {
                              type: "m.room.encryption",
                              state_key: "",
                              content: { algorithm: "m.megolm.v1.aes-sha2", ...settings },
                          },
                      ]
                    : [],
            })
        ).room_id,
    join: async ({ room_id }) => (await client.joinRoom(room_id)).roomId,
    leave: async ({ room_id }) => void (await client.leave(room_id)),
    invite: async ({ room_id, user_id }) => void (await client.invite(room_id, user_id)),
    state: async ({ room_id, type, content, state_key }) =>
        (await client.sendStateEvent(room_id, type, content, state_key ?? "")).event_id,
    async send({ room_id, type, content }) {
        await ready(room_id);
        return (await client.sendEvent(room_id, type, content)).event_id;
    },
    redact: async ({ room_id, event_id }) => (await client.redactEvent(room_id, event_id)).event_id,
    upload: async ({ data, mimetype, name }) =>
        (await client.uploadContent(Buffer.from(data, "base64"), { type: mimetype, name })).content_uri,
    async forget_key({ room_id }) {
        await client.getCrypto().forceDiscardSession(room_id);
    },
    // Says something encrypted whose key the room's others get later, with `give_keys`.
    async hold_keys() {
        held = [];
    },
    async give_keys() {
        const waiting = held;
        held = null;
        for (const go of waiting) await go();
        return waiting.length;
    },
    async members({ room_id }) {
        return client.getRoom(room_id)?.getJoinedMembers().map((member) => member.userId) ?? [];
    },
    async device_verified({ user_id, device_id }) {
        const status = await client.getCrypto().getDeviceVerificationStatus(user_id, device_id);
        return status?.signedByOwner ?? false;
    },
};

// Room keys travel by `sendToDevice`; while `held` is a list, they wait in it.
let held = null;
const fetchNow = globalThis.fetch;
globalThis.fetch = async (url, options) => {
    if (held !== null && String(url).includes("/sendToDevice/m.room.encrypted/")) {
        held.push(() => fetchNow(url, options));
        return new Response("{}", { status: 200, headers: { "Content-Type": "application/json" } });
    }
    return await fetchNow(url, options);
};

// A room we were let into is known by halves until the next sync: nothing may be said in it in clear by that.
async function ready(room_id) {
    const isKnown = () => client.getRoom(room_id)?.currentState.getStateEvents("m.room.power_levels", "");
    for (let n = 0; n < 800 && !isKnown(); n++) await new Promise((resolve) => setTimeout(resolve, 25));
}

let last = Promise.resolve();
readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const asked = JSON.parse(line);
    last = last.then(async () => {
        try {
            say({ id: asked.id, ok: (await actions[asked.do](asked)) ?? null });
        } catch (error) {
            say({ id: asked.id, error: String(error?.message ?? error).slice(0, 500) });
        }
    });
}).on("close", () => process.exit(0));
