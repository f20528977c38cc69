/* uWebSockets as a chat server: whoever is connected is subscribed to one topic, and what is said is published there.
 *
 * uWebSockets is C++ and no distribution's package has it; the Python package `socketify` carries it as a library with a C
 * interface, which is what this is linked with (see uws.sh). No line of Python runs. The declarations are those of its
 * libsocketify.h, as far as they are needed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct uws_app_s uws_app_t;
typedef struct uws_websocket_s uws_websocket_t;
struct us_listen_socket_t;
typedef struct { int port; const char *host; int options; } listen_config;
struct us_socket_context_options_t {
    const char *key_file_name, *cert_file_name, *passphrase, *dh_params_file_name, *ca_file_name, *ssl_ciphers;
    int ssl_prefer_low_memory_usage;
};
typedef void (*on_socket)(uws_websocket_t *, void *);
typedef void (*on_message)(uws_websocket_t *, const char *, size_t, int, void *);
typedef void (*on_any)(void);
typedef struct {
    int compression;
    unsigned int max_payload_length;
    unsigned short idle_timeout;
    unsigned int max_backpressure;
    bool close_on_backpressure_limit, reset_idle_timeout_on_send, send_pings_automatically;
    unsigned short max_lifetime;
    on_any upgrade;
    on_socket open;
    on_message message;
    on_socket drain;
    on_any ping, pong, close, subscription;
} behaviour;

void *socketify_create_loop(void);
void *socketify_get_native_loop(void *loop);
int socketify_loop_run(void *loop, int mode);
void *uws_get_loop_with_native(void *loop);
uws_app_t *uws_create_app(int ssl, struct us_socket_context_options_t options);
void uws_app_listen_with_config(int ssl, uws_app_t *, listen_config,
                                void (*)(struct us_listen_socket_t *, listen_config, void *), void *);
void uws_ws(int ssl, uws_app_t *, const char *pattern, behaviour, void *);
bool uws_ws_subscribe(int ssl, uws_websocket_t *, const char *topic, size_t length);
bool uws_publish(int ssl, uws_app_t *, const char *topic, size_t, const char *message, size_t, int opcode, bool compress);

static void opened(uws_websocket_t *socket, void *app) {
    (void)app;
    uws_ws_subscribe(0, socket, "room", 4);
}

static void said(uws_websocket_t *socket, const char *text, size_t length, int opcode, void *app) {
    (void)socket;
    uws_publish(0, app, "room", 4, text, length, opcode, false);
}

static void listening(struct us_listen_socket_t *socket, listen_config config, void *app) {
    (void)app;
    if (!socket) {
        fprintf(stderr, "uws: port %d is taken\n", config.port);
        exit(1);
    }
    printf("listening on http://127.0.0.1:%d\n", config.port);
    fflush(stdout);
}

int main(int count, char **words) {
    int port = count > 1 ? atoi(words[1]) : 14480;
    void *loop = socketify_create_loop();
    uws_get_loop_with_native(socketify_get_native_loop(loop));
    struct us_socket_context_options_t plain = {0};
    uws_app_t *app = uws_create_app(0, plain);
    behaviour chat = {
        .max_payload_length = 64 * 1024,
        .idle_timeout = 120,
        .max_backpressure = 64 * 1024 * 1024,
        .send_pings_automatically = true,
        .open = opened,
        .message = said,
    };
    uws_ws(0, app, "/*", chat, app);
    listen_config config = {.port = port, .host = "127.0.0.1", .options = 0};
    uws_app_listen_with_config(0, app, config, listening, app);
    return socketify_loop_run(loop, 0);
}
