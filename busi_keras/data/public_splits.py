"""The three splits of the public segmentation table, image by image.

github.com/FengheTan9/Medical-Image-Segmentation-Benchmarks, `data/busi_val1.txt` to `busi_val3.txt`, MIT licence,
Copyright (c) 2023 Fenghe Tang. They were drawn at random, without strata and from seeds that are not recorded, so the
names themselves are kept: 195 of BUSI's 647 lesion images validate, the other 452 train.
"""

from busi_keras.data.busi import BUSI_COUNTS

_CLASS = {"b": "benign", "m": "malignant"}

LESION_IMAGES = frozenset(
    f"{name}/{name} ({number}).png" for name in _CLASS.values() for number in range(1, BUSI_COUNTS[name] + 1)
)
"""Names (`Record.name`) of all images that were split."""


def _names(short: str) -> tuple[str, ...]:
    """`b7 m12` -> `benign/benign (7).png`, `malignant/malignant (12).png`."""
    return tuple(f"{_CLASS[one[0]]}/{_CLASS[one[0]]} ({one[1:]}).png" for one in short.split())


VALIDATION = (
    _names(
        "b301 m91 b379 b377 m85 b241 m92 b344 m165 b431 b334 b427 m194 m104 m80 b206 b121 b283 b436 b371 b303 b137 "
        "b430 b236 m176 b222 b416 m150 b368 b293 b7 m37 b401 m138 m153 b58 m162 b348 b291 b420 b414 m108 m196 m207 "
        "b396 b81 b199 b351 b363 b101 m185 m105 m48 m72 b356 m26 m27 b225 b387 m6 m119 m175 b434 b364 b234 b162 b156 "
        "b90 b326 m159 b333 b76 b55 b68 b266 b290 m187 b366 b288 m171 m89 b92 b30 b248 b369 b208 m151 b154 m95 b151 "
        "b381 b86 m193 m199 b228 b411 b110 m78 b24 b395 b197 m35 b296 b142 b297 b41 m188 b331 b399 b394 m130 b319 "
        "b184 m174 b339 b113 b345 m44 m75 b51 m79 b25 m24 b317 b89 b289 b272 b119 m46 b91 b202 m50 b116 m106 b224 "
        "b390 m146 b127 b18 m55 b14 m192 b83 m22 b47 b271 b98 b359 b292 b125 b252 m20 m42 b273 b148 b219 b397 b287 "
        "b174 b302 m53 b332 b117 b342 b270 b309 b115 b173 b384 b230 b185 m112 m77 b64 b15 b429 b383 m98 m155 b227 "
        "b323 b415 b365 m97 m189 m115 b391 m186 b50 b143 b355 b267 b259 b255 m191"
    ),
    _names(
        "b40 b64 m118 b365 b110 m4 m151 b427 m188 b305 b174 b92 m103 m15 b397 b414 b85 m185 b404 b302 b158 b117 m31 "
        "b283 b389 b314 b167 m126 m81 b170 m73 b9 b26 b105 m83 m138 b152 b76 b303 b187 b230 m18 m23 m170 b217 b350 "
        "m117 b267 m194 b78 b38 m6 b402 b25 m141 b79 b342 b150 b347 m27 b325 b261 b169 b422 b437 m163 b103 b62 m55 "
        "b379 m38 m50 b271 b378 b229 b168 b241 b329 m110 m75 b8 b316 m115 m22 b398 m181 m205 m62 m116 b285 m192 b424 "
        "b149 b266 b214 m3 b29 b171 m196 b50 b435 m76 b307 b368 m191 m59 b200 b125 b177 b258 b265 b376 m203 b165 m134 "
        "b358 b220 b20 b256 b35 b202 b222 m182 b87 m125 b34 b387 b290 b27 m29 m109 b193 m190 b221 b364 m193 b332 b240 "
        "b310 b54 b270 m54 b136 b331 b43 b377 b315 b118 m71 b145 b436 b72 b401 b274 m30 b154 b75 b282 b88 m122 b188 "
        "b291 b28 m149 b309 m133 m52 b59 m11 b31 b357 b317 b94 m208 b337 b296 m72 m154 m173 b210 b86 b405 b433 b186 "
        "b319 b311 b192 m64 b139 b264 b172 b339 b306 m137 m21"
    ),
    _names(
        "b128 m186 b378 b202 b214 b63 b15 m37 m103 m108 b301 b29 m139 m135 b89 b121 b286 b16 b140 b114 b78 b169 b357 "
        "b362 b385 m130 b141 b250 b62 b334 b231 b249 m28 b117 b297 m179 b71 m2 b253 m86 m84 b271 b74 b72 m36 b212 "
        "m124 b56 m49 m176 m194 b405 b213 m118 m62 m127 b44 m21 m164 m204 b352 b195 b337 b314 b313 m162 m65 b191 m144 "
        "b435 m25 m187 m152 b101 m167 m5 b225 b47 m47 m34 b365 b221 b69 m54 b110 b75 m137 b290 b96 b383 m117 b349 "
        "b219 m197 b291 b59 m114 b14 b412 b100 b203 m99 m145 b196 b20 m195 b186 b139 b107 b210 b252 m125 b268 b88 "
        "m190 b67 b51 b171 b155 m138 m52 b256 b261 b300 b208 b258 b31 m132 b329 m143 b206 b133 b86 m46 b13 b321 b28 "
        "b336 b65 b136 m100 b232 m184 m33 b227 b361 b433 b417 m9 b109 b70 b162 b323 m159 b354 b125 b199 b347 b68 b255 "
        "b53 b185 b386 m60 b135 b113 b21 m38 b167 m160 m18 b126 m89 b262 b17 m4 b180 b172 b223 b355 b391 b393 b34 "
        "b281 b189 b319 m201 b41 b379 b163 b81 b91 m141 b414 m148"
    ),
)
"""Of each split, who validates, in the order of the list: the table's scores pool images that stand together."""
